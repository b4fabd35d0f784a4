"""Datasets as they are downloaded, each read into samples that shards can hold."""
