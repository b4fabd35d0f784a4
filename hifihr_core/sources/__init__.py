"""Read datasets, in the form in which they are downloaded, into samples for shards."""
