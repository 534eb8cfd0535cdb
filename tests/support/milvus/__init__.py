"""Milvus servers, and what the tests put into them."""
