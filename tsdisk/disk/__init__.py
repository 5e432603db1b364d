"Arrays on disk: create, open, gather, prefetch"
