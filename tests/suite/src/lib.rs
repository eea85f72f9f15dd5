//! One module per promise
