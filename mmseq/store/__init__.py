"""The store: raw data prepared once, as ragged memory maps that batches are gathered from."""

from mmseq.store.gather import Gathered, Rows, Window
from mmseq.store.plan import Plan, plan_of
from mmseq.store.prepare import prepare
from mmseq.store.profile import profile
from mmseq.store.read import Store

__all__ = ["Gathered", "Plan", "Rows", "Store", "Window", "plan_of", "prepare", "profile"]
