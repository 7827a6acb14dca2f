//! The documentation, the examples and the layout of the sources are what they claim to be.

mod examples;
mod floors;
mod guarantees;
mod guide;
mod links;
