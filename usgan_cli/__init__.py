"""Do GAN-made images help a classifier trained on a small medical image dataset, and can the answer be trusted?"""

__version__ = "0.1.0"
