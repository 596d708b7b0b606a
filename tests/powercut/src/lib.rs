//! Power-cut recorder.
