"""Read clips, folders of pictures and cameras as frames with numbers and times."""
