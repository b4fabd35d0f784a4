"""The HDF5 shard format: schema, writer, reader, packing."""
