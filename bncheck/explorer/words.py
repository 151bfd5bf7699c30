"""Every word on the page, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bncheck.figures.studio.look import Words
from bncheck.figures.studio.saturation import SHARE

WORDS: Mapping[str, Words] = MappingProxyType(
    {
        # the head
        "title": Words("{layer}, forward and back", "{layer}：前向与反向"),
        "skip": Words("Skip to the graph", "跳到计算图"),
        "sections": Words("Sections", "章节"),
        "graph": Words("Graph", "计算图"),
        "theme": Words("Light or dark", "明暗切换"),
        "no_script": Words(
            "This page computes everything it shows and needs JavaScript.", "本页实时计算，需要 JavaScript。"
        ),
        # the graph
        "graph_label": Words(
            "Computation graph: values above each node, gradients below", "计算图：节点上方是值，下方是梯度"
        ),
        "value": Words("value", "值"),
        "gradient": Words("gradient", "梯度"),
        "value_above": Words("value above", "上方：值"),
        "gradient_below": Words("gradient below", "下方：梯度"),
        "element": Words("Element", "元素"),
        "of_element": Words("element {i} of {m}", "第 {i} 个元素，共 {m} 个"),
        "arithmetic": Words("Arithmetic of the chosen node", "所选节点的算式"),
        # the reverse sweep
        "sweep": Words("Reverse sweep", "反向传播"),
        "back": Words("Step back", "后退一步"),
        "forward": Words("Next step", "下一步"),
        "all": Words("Show all", "全部显示"),
        "sweep_hint": Words(
            "Choose a node for its arithmetic, or step through the sweep with ← and →.",
            "选择一个节点查看其算式，或用 ← 和 → 逐步反向传播。",
        ),
        "step": Words("Step {k} of {n}", "第 {k} 步，共 {n} 步"),
        "step_said": Words(
            "Step {k} of {n}: the gradient of {name} is {gradient}", "第 {k} 步，共 {n} 步：{name} 的梯度为 {gradient}"
        ),
        "arrives": Words("dy arrives from above", "dy 由上游传来"),
        # what is entered
        "x": Words("Input x", "输入 x"),
        "dy": Words("Upstream gradient dy", "上游梯度 dy"),
        "dx": Words("Gradient dx", "梯度 dx"),
        "x_element": Words("x, element {i}", "x，第 {i} 个元素"),
        "dy_element": Words("dy, element {i}", "dy，第 {i} 个元素"),
        "count": Words("Elements m", "元素数 m"),
        "slide": Words("{name}, slider", "{name}，滑块"),
        "band": Words("shaded: one standard deviation around the mean", "阴影：均值两侧一个标准差"),
        "inputs": Words("Inputs", "输入"),
        "reset": Words("Reset", "重置"),
        "random": Words("Random", "随机"),
        "constant": Words("Constant dy", "恒定 dy"),
        "far": Words("Far mean", "均值很大"),
        "tiny": Words("Tiny variance", "方差极小"),
        "constant_note": Words(
            "A constant dy: dx is zero to rounding, so a test with it shows nothing.",
            "dy 恒定：dx 为零（仅余舍入误差），这样的测试说明不了任何问题。",
        ),
        "far_note": Words(
            "x lies far from zero: the subtraction of the mean cancels digits, and the tolerance grows.",
            "x 远离零：减去均值会损失有效数字，容差随之变大。",
        ),
        "tiny_note": Words(
            "The variance is as small as ε: now a misplaced ε shows, which it hardly does elsewhere.",
            "方差与 ε 相当：此时放错位置的 ε 才会显现，别处几乎看不出。",
        ),
        # the ways back to x
        "paths": Words("Ways back to x", "回到 x 的路径"),
        "direct": Words("direct", "直接"),
        "through": Words("through {name}", "经过 {name}"),
        "total": Words("sum: dx", "总和：dx"),
        # the sigmoid
        "sigmoid": Words("Into a sigmoid", "输入 sigmoid"),
        "sigmoid_text": Words(
            f"A sigmoid passes on a gradient only where it is steep. Hatched: its slope is below {100 * SHARE:.0f} % of"
            " the largest. Normalization moves what arrives to where the slope is large; γ and β can move it away.",
            f"sigmoid 只在陡峭处传递梯度。斜线区：斜率低于最大值的 {100 * SHARE:.0f} %。"
            "归一化把输入移到斜率大的地方；γ 和 β 又可以把它移开。",
        ),
        "before": Words("without: σ(x)", "无归一化：σ(x)"),
        "after": Words("with: σ(y)", "有归一化：σ(y)"),
        "saturated": Words("{k} of {m} saturated", "{m} 个中有 {k} 个饱和"),
        "beyond": Words("{k} beyond the edge", "{k} 个在图外"),
        # training and evaluation
        "modes": Words("Training and evaluation", "训练与评估"),
        "modes_text": Words(
            "In training the statistics are those of the batch, and gradients flow through them. In evaluation they"
            " are stored numbers: y differs where they do, and dx is the direct way alone.",
            "训练时统计量来自当前批次，梯度也流经它们。评估时统计量是存储的数：二者不同则 y 不同，且 dx 只剩直接路径。",
        ),
        "training": Words("training", "训练"),
        "evaluation": Words("evaluation", "评估"),
        "take": Words("Take this batch’s statistics", "采用本批次的统计量"),
        "running": Words("stored {name}", "存储的 {name}"),
        "no_modes": Words(
            "This layer computes its statistics anew each time: training and evaluation are the same.",
            "该层每次重新计算统计量：训练与评估相同。",
        ),
        "in_both": Words("{name} in both modes", "两种模式下的 {name}"),
        # find the bug
        "bug": Words("Find the bug", "找出错误"),
        "bug_text": Words(
            "One place in the derived code is edited. Each gradient is held against the truth, within a tolerance"
            " computed for these very inputs. Change the inputs above to learn more; then say where the edit is, or"
            " what it is.",
            "推导出的代码有一处被改动。每个梯度都与真值比较，容差针对当前输入计算得出。可在上方改变输入以获得更多线索，再指出改在何处，或改了什么。",
        ),
        "hide": Words("Hide a bug", "藏一个错误"),
        "another": Words("Hide another", "再藏一个"),
        "give_up": Words("Tell me", "揭晓答案"),
        "where": Words("Where is it?", "在哪里？"),
        "which": Words("Or which is it?", "或者，是哪一个？"),
        "score": Words("{hits} of {played} found", "已找出 {hits} / {played}"),
        "right": Words("Right: {title}. {term}. {why}", "正确：{title}。{term}。{why}"),
        "not_it": Words("No, it is not that. Look again.", "不是这个，再看看。"),
        "told": Words("It was: {title}. {term}. {why}", "答案：{title}。{term}。{why}"),
        "invisible": Words(
            "On these inputs every gradient is right although the edit is there: no test with them could find it."
            " Change them.",
            "改动确实存在，但在当前输入下每个梯度都正确：用它们测试永远发现不了。请改变输入。",
        ),
        "none_shows": Words(
            "These inputs show none of the bugs, so nothing was hidden. Change them first.",
            "当前输入显不出任何错误，因此没有藏。请先改变输入。",
        ),
        "no_bugs": Words("There are no bugs to hide in this layer.", "该层没有可藏的错误。"),
        "gave": Words("the code says", "代码给出"),
        # judge mine
        "mine": Words("Judge mine", "评判我的结果"),
        "mine_text": Words(
            "Run your own code on the inputs above and paste what it answers. The tolerance is what rounding can do on"
            " these inputs, and half of the last digit that you write.",
            "用自己的代码计算上方输入，把结果粘贴到这里。容差是这些输入上舍入所能造成的误差，加上所写末位的一半。",
        ),
        "as_code": Words("The inputs, for NumPy", "输入（NumPy）"),
        "your": Words("your {name}", "你的 {name}"),
        "yours": Words("yours", "你的"),
        "truth": Words("truth", "真值"),
        "radius": Words("tolerance", "容差"),
        "verdict": Words("verdict", "结论"),
        "correct": Words("correct", "正确"),
        "wrong": Words("wrong", "错误"),
        "inconclusive": Words("inconclusive", "无法判定"),
        "vacuous": Words("zero, shows nothing", "为零，说明不了问题"),
        "many": Words("{k} numbers", "{k} 个数"),
        "counted": Words("{k} {verdict}", "{verdict} {k}"),
        "comma": Words(", ", "，"),
        "expected_count": Words(
            "{name}: {m} numbers are needed, here are {k}.", "{name}：需要 {m} 个数，这里有 {k} 个。"
        ),
        "no_number": Words("{name}: “{text}” is no number.", "{name}：“{text}”不是数。"),
        "gradient_of": Words("gradient", "梯度"),
        "about": Words(
            "Every number is computed on this page, by formulas derived from the layer’s definition; nothing is loaded"
            " from anywhere. The address of the page holds its state.",
            "所有数字都在本页计算，公式由该层的定义推导而来；不从任何地方加载内容。页面地址保存全部状态。",
        ),
        # the address
        "bad_address": Words(
            "Part of the address could not be read and was left out: {names}.",
            "地址中有无法读取的部分，已忽略：{names}。",
        ),
        "other_layer": Words(
            "The address is for the layer {name}; this page shows {layer}.",
            "该地址属于 {name} 层；本页展示的是 {layer}。",
        ),
    }
)
"""Key → words; braces are filled in where the words are used."""
