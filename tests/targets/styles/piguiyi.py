# -*- coding: utf-8 -*-
import numpy as np


class PiGuiYiHua(object):
    # 批归一化层
    def __init__(self, weidu, dongliang=0.9, xiao=1e-5):
        self.suofang = np.ones((weidu,))      # 缩放
        self.pingyi = np.zeros((weidu,))      # 平移
        self.dongliang = dongliang
        self.xiao = xiao
        self.huadong_junzhi = np.zeros((weidu,))
        self.huadong_fangcha = np.ones((weidu,))
        self.biaozhuncha = np.ones((weidu,))

    def qianxiang(self, shuru, xunlian=True):
        # 前向传播
        if xunlian:
            junzhi = np.mean(shuru, axis=0)
            fangcha = np.var(shuru, axis=0)
            self.huadong_junzhi = self.dongliang * self.huadong_junzhi + (1 - self.dongliang) * junzhi
            self.huadong_fangcha = self.dongliang * self.huadong_fangcha + (1 - self.dongliang) * fangcha
            self.biaozhuncha = np.sqrt(fangcha + self.xiao)
        else:
            junzhi = self.huadong_junzhi
        self.guiyi = (shuru - junzhi) / self.biaozhuncha
        return self.suofang * self.guiyi + self.pingyi

    def fanxiang(self, tidu):
        # 反向传播
        n = tidu.shape[0]
        self.d_suofang = np.sum(tidu * self.guiyi, axis=0)
        self.d_pingyi = np.sum(tidu, axis=0)
        d_guiyi = tidu * self.suofang
        d_shuru = (n * d_guiyi - d_guiyi.sum(axis=0) - self.guiyi * (d_guiyi * self.guiyi).sum(axis=0))
        return d_shuru / (n * self.biaozhuncha)
