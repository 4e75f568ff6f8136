"""The paper's figures and our studies of them: experiments, errata of the published code, open questions.

Everything here uses the library `kernel_collapse`, which never imports it.
"""
