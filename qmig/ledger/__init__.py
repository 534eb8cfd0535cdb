"""The ledger, a collection in the target and the only durable state: records, claims, leases, control."""
