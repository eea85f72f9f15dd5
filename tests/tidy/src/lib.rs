//! The laws of the project, as tests
