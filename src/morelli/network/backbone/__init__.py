"""The backbone: any timm model as feature maps, their statistics, and principal components of these."""
