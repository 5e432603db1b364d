"Files of other formats to a dataset, and back"
