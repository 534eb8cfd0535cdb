"""The status of migrations, read from the ledger alone; shown in Flower and exported to Prometheus."""
