"Which rows, in which order: pure functions of seed and epoch"
