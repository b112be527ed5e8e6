"""quantize_ in the loops, layers and trainers that users have already."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lnegeom import InputError
from lnegeom_torch import ManifoldAdamW, ManifoldSGD, QuantConfig, freeze, quantize_
from lnegeom_torch.data import load, training_batches
from lnegeom_torch.train import accuracy

EVERYTHING = ("Linear", "Conv1d", "Conv2d", "Embedding", "MultiheadAttention")


class Tagger(nn.Module):
    """Embedding, convolution over time, transformer, and a head tied to the embedding."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(13, 16)
        self.mix = nn.Conv1d(16, 16, 3, padding=1)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, 13, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens, padding=None):
        h = self.mix(self.embed(tokens).transpose(1, 2)).transpose(1, 2)
        return self.head(self.encoder(h, src_key_padding_mask=padding))


def tagger():
    torch.manual_seed(0)
    return Tagger()


def tokens():
    return torch.randint(13, (4, 6), generator=torch.Generator().manual_seed(1))


def padded():
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[1, 4:] = mask[2, 1:] = True
    return mask


def loss_of(outputs, targets):
    return nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))


def points(count=32):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(count, 6, generator=generator), torch.randint(3, (count,), generator=generator)


class TestLayers:
    def test_every_kind_is_quantized_where_it_is_included_and_trains(self):
        method = quantize_(tagger(), QuantConfig("wcg", include=EVERYTHING, scale="tensor"))
        model = method.model
        attention = model.encoder.layers[0].self_attn
        for weight in (
            model.embed.weight,
            model.mix.weight,
            attention.in_proj_weight,
            attention.out_proj.weight,
        ):
            assert len(weight.unique()) == 2
        assert model.embed.parametrizations.weight.original is model.head.parametrizations.weight.original
        optimizer = ManifoldSGD(method.param_groups(), lr=0.02, momentum=0.9)
        before = {name: weight.detach().clone() for name, weight in method.latents.items()}
        losses = [method.step(optimizer, loss_of, tokens(), tokens())[0] for _ in range(15)]
        assert losses[-1] < losses[0]
        assert all(not torch.equal(before[name], weight) for name, weight in method.latents.items())

    @pytest.mark.parametrize(
        ("include", "exclude", "expected"),
        [
            (("Linear",), (), ["encoder.layers.0.linear1", "encoder.layers.0.linear2", "head"]),
            (("Conv1d", "head"), (), ["mix", "head"]),
            (("encoder.*",), ("*.self_attn*", "*.linear1"), ["encoder.layers.0.linear2"]),
            (EVERYTHING, ("Embedding", "encoder.*"), ["mix", "head"]),
        ],
    )
    def test_layers_are_chosen_by_type_or_name(self, include, exclude, expected):
        method = quantize_(tagger(), QuantConfig("ste", include=include, exclude=exclude))
        assert [name for name in method.layers if "layers.1" not in name] == expected

    def test_any_class_with_a_weight_is_included_by_its_name(self):
        class Transposed(nn.Module):  # as GPT-2 keeps its linear layers
            def __init__(self):
                super().__init__()
                self.weight = nn.Parameter(torch.randn(4, 3))

            def forward(self, x):
                return x @ self.weight

        bag = nn.EmbeddingBag(5, 8)
        model = nn.Sequential(
            bag, nn.Unflatten(1, (1, 2, 2, 2)), nn.Conv3d(1, 4, 2), nn.Flatten(), Transposed()
        )
        config = QuantConfig(
            "ste", activation_bits=4, include=("Conv3d", "Transposed", "EmbeddingBag"), quantizer="rf"
        )
        method = quantize_(model, config)
        assert method.layers == ("0", "2", "4")
        tokens = torch.randint(5, (6, 2))
        nn.functional.cross_entropy(model(tokens), torch.zeros(6).long()).backward()
        assert all(weight.grad.abs().max() > 0 for weight in method.latents.values())
        assert model[4].weight.unique().tolist() == [-1, 1]
        with torch.no_grad():
            assert torch.equal(freeze(model)(tokens), model.eval()(tokens))
        assert quantize_(mlp(), QuantConfig("ste")).layers == ("0", "2", "4")

    def test_first_and_last_have_a_width_of_their_own(self):
        for bits, levels in ((32, None), (8, 256), (4, 16)):
            model = mlp()
            method = quantize_(model, QuantConfig("ste", first_last_bits=bits))
            assert method.layers == (("2",) if bits == 32 else ("0", "2", "4"))
            assert len(model[2].weight.unique()) == 2
            for end in (model[0], model[4]):
                assert levels is None or 2 < len(end.weight.unique()) <= levels

    @pytest.mark.parametrize("activation_bits", [None, 4])
    @pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
    def test_torchs_fast_path_of_transformers_skips_no_quantizer(self, activation_bits):
        """In evaluation mode torch hands a whole layer's weights to one function, and calls no module."""
        config = QuantConfig("ste", activation_bits=activation_bits, include=EVERYTHING, scale="tensor")
        model = quantize_(tagger(), config).model.eval()
        for mask in (None, padded()):
            outputs = []
            for fast in (True, False):
                torch.backends.mha.set_fastpath_enabled(fast)
                try:
                    with torch.no_grad():
                        outputs.append(model(tokens(), mask))
                finally:
                    torch.backends.mha.set_fastpath_enabled(True)
            seen = slice(None) if mask is None else ~mask
            torch.testing.assert_close(outputs[0][seen], outputs[1][seen], rtol=1e-4, atol=1e-4)

    def test_a_full_precision_checkpoint_loads_before_or_after(self):
        pretrained = tagger()
        with torch.no_grad():
            for parameter in pretrained.parameters():
                parameter.mul_(1.5)
        before, after = tagger(), tagger()
        config = QuantConfig("ste", include=EVERYTHING, scale="channel")
        before.load_state_dict(pretrained.state_dict())
        quantize_(before, config)
        quantize_(after, config)
        result = after.load_state_dict(pretrained.state_dict())
        assert not result.missing_keys
        assert not result.unexpected_keys
        assert all(
            torch.equal(a, b)
            for a, b in zip(before.state_dict().values(), after.state_dict().values(), strict=True)
        )
        with torch.no_grad():
            assert torch.equal(before.eval()(tokens()), after.eval()(tokens()))
            assert torch.equal(freeze(before)(tokens()), before(tokens()))

    def test_a_pattern_that_fits_nothing_is_refused(self):
        with pytest.raises(InputError, match="no layer to quantize: expected one of include="):
            quantize_(mlp(), QuantConfig("ste", include=("Conv2d",)))


class TestLoops:
    def test_gradients_are_clipped_by_a_hook_of_the_optimizer(self):
        """It works with `method.step` too, for every method."""
        method = quantize_(mlp(), QuantConfig("wcg"))
        optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
        norms = []

        def clip(own, *_):
            parameters = [p for group in own.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, 0.01)
            norms.append(nn.utils.get_total_norm([p.grad for p in parameters]))

        optimizer.register_step_pre_hook(clip)
        method.step(optimizer, nn.functional.cross_entropy, *points())
        torch.testing.assert_close(norms[0], torch.tensor(0.01), rtol=1e-3, atol=0)

    def test_gradients_of_parts_add_up_to_those_of_the_batch(self):
        x, y = points()
        whole, parts = (quantize_(mlp(), QuantConfig("wcg", activation_bits=8)) for _ in range(2))
        whole.step(ManifoldSGD(whole.param_groups(), lr=0.1), nn.functional.cross_entropy, x, y)
        optimizer = ManifoldSGD(parts.param_groups(), lr=0.1)
        # RF's quantizer of activations looks at the largest of the batch, ManiQuant's at each alone.
        for part in range(4):
            chosen = slice(8 * part, 8 * part + 8)
            (nn.functional.cross_entropy(parts.model(x[chosen]), y[chosen]) / 4).backward()
        optimizer.step()
        for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
            torch.testing.assert_close(a, b)

    def test_schedulers_set_the_rate(self):
        method = quantize_(mlp(), QuantConfig("wcg"))
        optimizer = ManifoldAdamW(method.param_groups(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
        rates = []
        for _ in range(10):
            method.step(optimizer, nn.functional.cross_entropy, *points())
            rates.append(optimizer.param_groups[0]["lr"])
            scheduler.step() if len(rates) < 10 else None
        assert max(rates) == pytest.approx(0.1, rel=0.1)
        assert rates[-1] < 0.001

    def test_averaged_weights_are_the_latent_ones_and_are_quantized_anew(self):
        method = quantize_(mlp(), QuantConfig("ste", scale="channel"))
        optimizer = ManifoldSGD(method.param_groups(), lr=0.5, momentum=0.9)
        average = AveragedModel(method.model, multi_avg_fn=get_ema_multi_avg_fn(0.5)).eval()
        expected = [p.detach().clone() for p in method.model.parameters()]
        x, y = points()
        for index in range(4):
            with torch.no_grad():
                average(x)  # what evaluation keeps must not outlive the next average
            method.step(optimizer, nn.functional.cross_entropy, x, y)
            average.update_parameters(method.model)
            for own, p in zip(expected, method.model.parameters(), strict=True):
                own.copy_(p.detach() if index == 0 else 0.5 * own + 0.5 * p.detach())
        for own, p in zip(expected, average.module.parameters(), strict=True):
            torch.testing.assert_close(own, p)
        fresh = quantize_(mlp(), QuantConfig("ste", scale="channel")).model.eval()
        fresh.load_state_dict(average.module.state_dict())
        with torch.no_grad():
            assert torch.equal(average(x), fresh(x))
            assert torch.equal(freeze(average.module)(x), average(x))

    def test_weights_kept_for_evaluation_follow_every_write(self):
        method = quantize_(mlp(), QuantConfig("ste", weight_bits=4))
        model, (x, y) = method.model.eval(), points()
        optimizer = torch.optim.SGD(method.model.parameters(), lr=1.0)
        writes = [
            lambda: (nn.functional.cross_entropy(model(x), y).backward(), optimizer.step()),
            lambda: model.load_state_dict({name: -value for name, value in model.state_dict().items()}),
            lambda: torch._foreach_mul_([p.detach() for p in model.parameters()], -0.3),
            lambda: nn.utils.vector_to_parameters(
                torch.ones(sum(p.numel() for p in model.parameters())), model.parameters()
            ),
            lambda: model.double().float(),
        ]
        for write in writes:
            with torch.no_grad():
                model(x)
            write()
            with torch.no_grad():
                assert torch.equal(model(x), copy.deepcopy(model)(x))
        with torch.no_grad():  # the one write that leaves no trace
            model[0].parametrizations.weight.original.data.neg_()
            assert torch.equal(model.eval()(x), copy.deepcopy(model)(x))
            compiled = torch.compile(model, backend="eager")
            torch.testing.assert_close(compiled(x), model(x))


@pytest.mark.parametrize("name", ["ste", "wcg", "dorefa"])
def test_a_network_without_batch_norm_at_its_end_learns_with_a_scale_and_not_without(name):
    """As docs/stack.md says."""
    digits, found = load("digits"), {}
    for scale in ("none", "channel"):
        torch.manual_seed(0)
        widths = ((1, 8), (8, 16), (16, 16))
        parts = [(nn.Conv2d(*w, 3, padding=1), nn.BatchNorm2d(w[1]), nn.ReLU()) for w in widths]
        model = nn.Sequential(*(part for three in parts for part in three), nn.Flatten(), nn.Linear(1024, 10))
        method = quantize_(model, QuantConfig(name, scale=scale))
        optimizer = ManifoldSGD(method.param_groups(), lr=0.1, momentum=0.9)
        order = torch.Generator().manual_seed(0)
        for _ in range(2):
            for x, y in training_batches(digits, 64, order):
                method.step(optimizer, nn.functional.cross_entropy, x, y)
        found[scale] = accuracy(model, digits.test_images, digits.test_labels)
    assert found["channel"] > 90
    assert found["none"] < 50
