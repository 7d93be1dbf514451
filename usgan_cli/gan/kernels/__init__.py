"""What the networks compute with: convolutions, the binomial filter, and what follows a convolution.

Every function here can be differentiated any number of times, since R1 and path length differentiate a gradient. Each
has a way for processors and, on a CUDA device, kernels in Triton (`choice` says which serve).
"""
