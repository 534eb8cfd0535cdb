"""What a command does: check, plan, begin and follow a migration or a verification."""
