"""Pretraining without photographs: a small ConvNeXt learns the features of a network that knows ImageNet, from drawn images.

formulas.py  draws images: dead leaves of textures and colours
images.py    batches of them and of painted cells, for keras' fit
teacher.py   EfficientNet-Lite2 and the features that are learned from it
distill.py   the training itself: `python -m build pretrain`
shipped.py   the weights that came of it, in build/pretrain/weights
"""
