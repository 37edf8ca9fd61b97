//! Admission as an async gate, and tower layers around it.
