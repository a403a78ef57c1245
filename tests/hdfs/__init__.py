"""Tests with a real HDFS, by `make test-hdfs`."""
