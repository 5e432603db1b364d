"fastai datasets and loaders"
