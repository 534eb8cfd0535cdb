"""What qmig reads out of Milvus, on servers that run."""
