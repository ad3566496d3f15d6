# The schedule of the authors' released code: 400 epochs, the learning rate halved after
# 260, 360, 380 and 390. Their epoch is 266 REDS clips of 98 windows in batches of 8,
# 3258 iterations.
released_train_cfg = dict(max_iters=400 * 3258, val_interval=3258)
released_milestones = [epoch * 3258 for epoch in (260, 360, 380, 390)]
