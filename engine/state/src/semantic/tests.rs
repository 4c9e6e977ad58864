//! Entries are found by nearness, age, weigh and go.
