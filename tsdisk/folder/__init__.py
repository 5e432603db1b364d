"A dataset folder: manifest, statistics, checksums"
