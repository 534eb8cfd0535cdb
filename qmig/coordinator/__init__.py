"""What a command does: preflight, plan, start a migration or verification, follow it."""
