//! Demo applications with known service times, to overload and to protect.
