//! Stack::start(): the simulated appliance and the real services, on port 0
