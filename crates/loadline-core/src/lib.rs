//! The admission state machine of loadline: who gets in, when, and why. Pure and deterministic.
