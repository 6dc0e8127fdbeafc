raise RuntimeError("a test does not belong to the plugin")
