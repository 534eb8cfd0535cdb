"""The coordinator: check, plan, begin and follow a migration or a verification."""
