//! Entries age, weigh and go; equal misses become one.
