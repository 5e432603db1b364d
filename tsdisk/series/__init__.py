"Series on disk, and windows over them"
