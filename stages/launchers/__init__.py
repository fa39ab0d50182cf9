"""The engines that run the trials of a sweep: a module each, with a function ``open_launcher(folder, settings, cache) -> Launcher``.

``folder`` is the sweep's, ``settings`` the section of the sweep file with the module's name, ``cache`` the checkout's DVC cache.
Modal's module is modal_launcher: a modal.py would shadow the package wherever its folder is on the path.
"""
