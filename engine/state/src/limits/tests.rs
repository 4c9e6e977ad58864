//! Limits hold under races and drain as told.
