//! Kubernetes Events: namespace rules, correlation, budgets, writing
