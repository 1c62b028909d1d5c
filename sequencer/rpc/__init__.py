"""What clients speak to: JSON-RPC, the binary fast door and subscriptions."""
