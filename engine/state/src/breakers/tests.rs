//! Breakers open, probe and close as told.
