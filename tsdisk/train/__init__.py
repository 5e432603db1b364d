"What training needs besides fastai"
