//! What every service stands on: options, telemetry, gRPC over mutual TLS and unix sockets, shutdown
