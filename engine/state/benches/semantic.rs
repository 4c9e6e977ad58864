//! How long a search takes, and how often it finds the nearest.
fn main() {}
