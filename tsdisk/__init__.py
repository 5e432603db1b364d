"Train fastai and tsai models on time series that do not fit in memory"
__version__ = "0.1.0"
