"""Where migrations stand, read from the ledger alone; shown in Flower and exported to Prometheus."""
