//! HTTP vocabulary of loadline as pure functions: rejections, log formats, syslog framing.
