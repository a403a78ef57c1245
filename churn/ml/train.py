"""Select, train and calibrate a churn model.

The candidates are a logistic regression, trees, trees with monotone constraints, trees
boosted from the margins of the logistic regression, and the average of the logistic
regression and trees. They are compared on rows that they were not fitted to, and the
model is more than a logistic regression only if trees predict these rows better.

The same rows, settings and library versions give the same model, byte for byte:
rows and features are sorted first, and seeds and thread counts are fixed.

The rows are held once, as one matrix sorted by date. Ranges of dates are passed as
views.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from churn.ml.baselines import fit_linear
from churn.ml.constraints import ConstraintTest, check_directions
from churn.ml.dataset import TrainingData, read_training_data
from churn.ml.drift import fit_bins
from churn.ml.evaluation import Evaluation, evaluate_model
from churn.ml.features import Feature
from churn.ml.metrics import draw_means, log_losses
from churn.ml.model import Calibration, ChurnModel, LinearPart, sigmoid
from churn.ml.sampling import as_slice, downsample, stride_sample
from churn.ml.split import Split, split_rows
from churn.ml.train_on_spark import train_on_spark

if TYPE_CHECKING:
    import xgboost as xgb

# The candidates, simplest first.
LOGISTIC = "logistic_regression"
CONSTRAINED = "constrained_trees"
TREES = "trees"
BOOSTED = "boosted_regression"
AVERAGED = "averaged"

# Values of the variable `monotone_constraints`, and the candidates of each.
CANDIDATES = {
    "auto": (LOGISTIC, CONSTRAINED, TREES, BOOSTED, AVERAGED),
    "always": (CONSTRAINED,),
    "never": (LOGISTIC, TREES, BOOSTED, AVERAGED),
}
# Share of bootstrap draws of accounts in which a model with trees must have a lower
# loss than the logistic regression, and any other candidate than the average.
BETTER_CONFIDENCE = 0.8
BEST_CONFIDENCE = 0.95

MAX_BOOST_ROUNDS = 600
# Training stops after this many rounds without a lower validation loss.
EARLY_STOPPING_ROUNDS = 30
# Number of rounds if there are no validation rows to stop training.
FIXED_ROUNDS = 40
# Ridge penalties of the logistic regression; the validation rows select one.
RIDGES = (100.0, 1000.0, 10_000.0)
# Maximum rows for feature quantiles.
SUMMARY_MAX_ROWS = 50_000
# Below this many matrix cells, a second thread costs more time than it saves.
_MIN_CELLS_FOR_THREADS = 5_000_000

# The first parameters of every search. They are conservative, because the weekly rows
# of one account are correlated. Windows of 7, 28 and 90 days are correlated too, so
# each split samples few features, which averages over them.
FIRST_TRIAL = {
    "max_depth": 3,
    "eta": 0.06,
    "min_child_weight": 10.0,
    "subsample": 0.6,
    "colsample_bynode": 0.1,
    "lambda": 5.0,
}
SEARCH_SPACE = {
    "max_depth": (2, 3, 4),
    "eta": (0.03, 0.06, 0.1),
    "min_child_weight": (3.0, 10.0, 30.0),
    "subsample": (0.5, 0.7, 0.9),
    "colsample_bynode": (0.1, 0.2, 0.4),
    "lambda": (1.0, 5.0, 20.0),
}


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training run.

    Attributes:
        gap_days: Days from an as-of date until its label is complete.
        seed: Seed of every random draw.
        horizon_days: Days in which the outcome of a label happens; ``None`` for
            half of ``gap_days``.
        search_trials: Number of parameter sets to try, at least 1.
        monotone_constraints: ``auto`` (trees with and without constraints compete,
            and directions that the rows contradict are dropped), ``always`` or
            ``never``.
        device: ``cpu`` or ``cuda``.
        engine: Where the final trees are fitted: ``local`` (this process) or
            ``spark`` (XGBoost's Spark estimator). The search always runs locally.
        threads: XGBoost threads. Fixed, because floating-point sums depend on it.
        draws: Bootstrap draws of the intervals.
    """

    gap_days: int
    seed: int
    horizon_days: int | None = None
    search_trials: int = 1
    monotone_constraints: str = "auto"
    device: str = "cpu"
    engine: str = "local"
    threads: int = 2
    draws: int = 200


@dataclass
class TrainingResult:
    """A trained model, the data it was trained on and its evaluation."""

    model: ChurnModel
    kind: str
    selection_reason: str
    split: Split
    bins: dict[str, dict[str, list[float]]]
    training_data: TrainingData
    parameters: dict[str, Any]
    constraint_tests: list[ConstraintTest]
    evaluation: Evaluation
    data_fingerprint: str
    training_fingerprint: str
    seconds: float
    search_seconds: float

    @property
    def metrics(self) -> dict[str, Any]:
        """Return the metrics by predictor, part of the split and metric."""
        return self.evaluation.metrics


def find_training_problem(labels: np.ndarray) -> str | None:
    """Return why no model can be trained on the labels, or ``None``."""
    if len(labels) == 0:
        return "no account has an observed label"
    if np.all(labels == labels[0]):
        outcome = "churned" if labels[0] else "stayed"
        return f"all {len(labels)} rows with an observed label {outcome}"
    return None


def fingerprint_training(
    data_fingerprint: str, features: Sequence[Feature], settings: TrainingSettings
) -> str:
    """Return a digest of all inputs of a training run; equal digests, equal models."""
    import sklearn
    import xgboost

    inputs = {
        "data": data_fingerprint,
        "features": sorted((f.name, f.monotone_direction) for f in features),
        "settings": asdict(settings),
        "first_trial": FIRST_TRIAL,
        "search_space": SEARCH_SPACE,
        "candidates": CANDIDATES,
        "rounds": [MAX_BOOST_ROUNDS, EARLY_STOPPING_ROUNDS, FIXED_ROUNDS],
        "ridges": RIDGES,
        "confidence": [BETTER_CONFIDENCE, BEST_CONFIDENCE],
        "libraries": [xgboost.__version__, sklearn.__version__],
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def train(
    rows: Any,
    features: Sequence[Feature],
    settings: TrainingSettings,
    data_fingerprint: str | None = None,
    split: Split | None = None,
) -> TrainingResult:
    """Select, train, calibrate and evaluate a model.

    The folds of the split select candidate, parameters, rounds and calibration. The
    selected model is then fitted to all rows whose labels were complete when the test
    rows start, and evaluated on the test rows. Without test rows, it is fitted to all
    rows, and the folds evaluate the procedure.

    Args:
        rows: Observed labels with their features: `TrainingData`, or input of
            `read_training_data`.
        features: Features to train on.
        settings: Settings of the run.
        data_fingerprint: ``training_data.fingerprint`` of the features, if already
            computed.
        split: Parts of the rows, in the order of `sort_rows`; ``None`` to split them
            by their own labels.
    """
    from threadpoolctl import threadpool_limits

    # Sums depend on the number of threads, and small matrices are slower with several.
    with threadpool_limits(limits=1, user_api="blas"):
        return _train(rows, features, settings, data_fingerprint, split)


def _train(
    rows: Any,
    features: Sequence[Feature],
    settings: TrainingSettings,
    data_fingerprint: str | None,
    split: Split | None,
) -> TrainingResult:
    started = time.perf_counter()
    features = sorted(features, key=lambda feature: feature.name)
    names = [feature.name for feature in features]
    data = rows if isinstance(rows, TrainingData) else read_training_data(rows, names)
    split = split or split_rows(
        data.days,
        data.labels,
        data.accounts,
        settings.gap_days,
        settings.horizon_days or settings.gap_days // 2,
        settings.seed,
    )
    codes = data.fit_codes(split.fit, names)
    data.encode(codes)
    matrix = data.matrix
    if names != data.names:
        columns = [data.names.index(name) for name in names]
        matrix = np.ascontiguousarray(matrix[:, columns])
    tests = check_directions(matrix, data.labels, data.accounts, split.fit, features)
    trainer = _Trainer(matrix, data, names, tests, settings)

    search_started = time.perf_counter()
    selected = trainer.select(split)
    search_seconds = time.perf_counter() - search_started

    linear, booster = trainer.fit(split.fit, selected)
    summary_rows = matrix[as_slice(stride_sample(split.fit, SUMMARY_MAX_ROWS))]
    model = ChurnModel(
        booster_json=booster.save_raw("json").decode() if booster else "",
        feature_names=names,
        codes=codes,
        calibration=selected.calibration,
        feature_medians=_medians(summary_rows, names),
        linear=linear,
        threads=trainer.fixed["nthread"],
    )
    evaluation = evaluate_model(
        model,
        matrix,
        data,
        split,
        selected.out_of_fold,
        selected.ridge,
        settings.draws,
        settings.seed,
    )
    data_fingerprint = data_fingerprint or data.fingerprint(names)
    return TrainingResult(
        model=model,
        kind=selected.kind,
        selection_reason=selected.reason,
        split=split,
        bins=fit_bins(summary_rows, names),
        training_data=data,
        parameters={
            **trainer.parameters(selected.trial, selected.is_constrained),
            "rounds": selected.rounds,
            "ridge": selected.ridge,
        },
        constraint_tests=tests,
        evaluation=evaluation,
        data_fingerprint=data_fingerprint,
        training_fingerprint=fingerprint_training(data_fingerprint, features, settings),
        seconds=time.perf_counter() - started,
        search_seconds=search_seconds,
    )


def calibrate(margins: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit Platt scaling on rows that the model was not fitted to.

    Targets are smoothed as in Platt (1999), "Probabilistic outputs for support
    vector machines". A ridge penalty pulls the slope towards 1, so that few churned
    rows cannot make it steep, flat or negative. scikit-learn's calibration has no such
    penalty.
    """
    margins = np.asarray(margins, dtype=float)
    labels = np.asarray(labels, dtype=float)
    churned, stayed = labels.sum(), len(labels) - labels.sum()
    targets = np.where(labels > 0, (churned + 1) / (churned + 2), 1 / (stayed + 2))
    design = np.column_stack([np.ones_like(margins), margins])
    prior, penalty = np.array([0.0, 1.0]), np.array([0.1, 2.0])
    line = prior.copy()
    for _ in range(100):
        probabilities = sigmoid(design @ line)
        gradient = design.T @ (probabilities - targets) + penalty * (line - prior)
        curvature = np.maximum(probabilities * (1 - probabilities), 1e-9)
        hessian = (design * curvature[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        line -= step * min(1.0, 1.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    # A slope below zero would reverse the ranking.
    return Calibration(slope=max(float(line[1]), 0.05), intercept=float(line[0]))


def cross_calibrate(
    margins: Sequence[np.ndarray], labels: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Calibrate the margins of each fold on the other folds; a single fold on itself.

    Args:
        margins: The margins of the validation rows of each fold.
        labels: Their labels.

    Returns:
        The probabilities of each fold.
    """
    probabilities = []
    for number in range(len(margins)):
        others = [n for n in range(len(margins)) if n != number] or [number]
        line = calibrate(
            np.concatenate([margins[n] for n in others]),
            np.concatenate([labels[n] for n in others]),
        )
        probabilities.append(line.apply(margins[number]))
    return probabilities


@dataclass(frozen=True)
class _Selected:
    """A candidate with its parameters, measured on the folds.

    Attributes:
        kind: One of the candidates.
        trial: Parameters of `SEARCH_SPACE`; empty without trees.
        rounds: Boosting rounds.
        ridge: Penalty of the logistic regression.
        margins: The margins of the validation rows of each fold.
        calibration: Fitted to the validation rows of all folds.
        out_of_fold: Calibrated probability of each validation row.
        losses: Their log losses.
        is_constrained: Whether the trees have monotone constraints.
        reason: Why this candidate was selected.
    """

    kind: str
    trial: Mapping[str, Any]
    rounds: int
    ridge: float
    margins: Sequence[np.ndarray]
    calibration: Calibration
    out_of_fold: np.ndarray
    losses: np.ndarray
    is_constrained: bool = False
    reason: str = ""

    @property
    def loss(self) -> float:
        """Return the mean log loss."""
        return float(self.losses.mean())


class _Trainer:
    """Fits candidates to rows of one matrix."""

    def __init__(
        self,
        matrix: np.ndarray,
        data: TrainingData,
        names: Sequence[str],
        tests: Sequence[ConstraintTest],
        settings: TrainingSettings,
    ) -> None:
        self.matrix, self.labels, self.accounts = matrix, data.labels, data.accounts
        self.names, self.settings = list(names), settings
        self.fixed: dict[str, Any] = {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "tree_method": "hist",
            "device": settings.device,
            # Sums depend on the thread count, so derive it from the data size only.
            "nthread": 1 if matrix.size < _MIN_CELLS_FOR_THREADS else settings.threads,
            "seed": settings.seed,
        }
        sign_of = {
            test.feature: test.sign
            for test in tests
            if test.is_kept or settings.monotone_constraints == "always"
        }
        signs = ",".join(str(sign_of.get(name, 0)) for name in names)
        self.constraints = {"monotone_constraints": f"({signs})"} if sign_of else {}

    def parameters(
        self, trial: Mapping[str, Any], is_constrained: bool
    ) -> dict[str, Any]:
        """Return the XGBoost parameters of a candidate; none without trees."""
        constraints = self.constraints if is_constrained else {}
        return {**self.fixed, **constraints, **trial} if trial else {}

    def fit(
        self, part: np.ndarray, selected: _Selected
    ) -> tuple[LinearPart | None, xgb.Booster | None]:
        """Fit the selected candidate to some rows."""
        import xgboost as xgb

        linear: LinearPart | None = None
        margins: np.ndarray | None = None
        if selected.kind not in (TREES, CONSTRAINED):
            linear = self.fit_linear(part, selected.ridge)
        if selected.kind == LOGISTIC:
            return linear, None
        if linear is not None and selected.kind == BOOSTED:
            margins = linear.margins(self.rows(part))
        if linear is not None and selected.kind == AVERAGED:
            margins = self.constant_margins(part)
            linear = linear.averaged_with_trees(float(margins[0]))
        parameters = self.parameters(selected.trial, selected.is_constrained)
        if self.settings.engine == "spark":
            booster = train_on_spark(
                self.matrix,
                self.labels,
                part,
                self.names,
                parameters,
                selected.rounds,
                margins,
            )
        else:
            data = self.data(part)
            if margins is not None:
                data.set_base_margin(margins)
            booster = xgb.train(parameters, data, num_boost_round=selected.rounds)
        return linear, booster

    def select(self, split: Split) -> _Selected:
        """Return the candidate that predicts the validation rows best.

        The trees must be better than the logistic regression in a paired bootstrap
        of accounts, because they are the more complex model.
        """
        kinds = list(CANDIDATES[self.settings.monotone_constraints])
        if not self.constraints:
            kinds = [kind for kind in kinds if kind != CONSTRAINED] or [TREES]
        if not split.folds:
            none = np.array([])
            unmeasured = _Selected(
                LOGISTIC, {}, 0, RIDGES[1], (), Calibration(), none, none,
                reason="No rows are held out to compare candidates.",
            )  # fmt: skip
            if LOGISTIC in kinds:
                return unmeasured
            return replace(
                unmeasured,
                kind=kinds[0],
                trial=FIRST_TRIAL,
                rounds=FIXED_ROUNDS,
                is_constrained=kinds[0] == CONSTRAINED,
            )
        folds = _FoldFits(self, split)
        tried = [
            folds.trees(kind, FIRST_TRIAL)
            for kind in kinds
            if kind in (CONSTRAINED, TREES, BOOSTED)
        ]
        plain = [fit for fit in tried if fit.kind != BOOSTED] or tried
        plain += [folds.trees(_best(plain).kind, trial) for trial in self.trials()]
        tried += plain
        if AVERAGED in kinds:
            tried += [folds.averaged(fit) for fit in plain]
        logistic = folds.logistic() if LOGISTIC in kinds else None
        return self.decide(tried, logistic, split)

    def decide(
        self, tried: Sequence[_Selected], logistic: _Selected | None, split: Split
    ) -> _Selected:
        """Return the average, or what is better than it in the paired test.

        The train rows of the folds are fewer than those of the final fit, which favours
        trees over the logistic regression, so a lower loss alone is not enough.
        """
        accounts = self.accounts[split.validation]

        def share_lower(one: _Selected, other: _Selected) -> float:
            """Return the share of draws of accounts in which one's loss is lower."""
            losses = one.losses - other.losses
            draws = self.settings.draws, self.settings.seed
            return float((draw_means(losses, accounts, *draws) < 0).mean())

        selected = _best([fit for fit in tried if fit.kind == AVERAGED] or tried)
        best = _best(tried)
        if share_lower(best, selected) >= BEST_CONFIDENCE:
            selected = best
        # The best of each kind.
        losses = {fit.kind: fit.loss for fit in sorted(tried, key=_loss, reverse=True)}
        decision = "."
        if logistic is not None:
            losses[LOGISTIC] = logistic.loss
            share = share_lower(selected, logistic)
            decision = (
                f". That of {selected.kind} is lower than that of {LOGISTIC} in "
                f"{share:.0%} of {self.settings.draws} draws of accounts."
            )
            if share < BETTER_CONFIDENCE:
                selected = logistic
        compared = ", ".join(f"{loss:.5f} of {kind}" for kind, loss in losses.items())
        rows = f"Log loss on {len(accounts):,} validation rows: "
        return replace(selected, reason=rows + compared + decision)

    def trials(self) -> list[dict[str, Any]]:
        """Return the parameter sets to try after `FIRST_TRIAL`."""
        if self.settings.search_trials < 2:
            return []
        from sklearn.model_selection import ParameterSampler

        return list(
            ParameterSampler(
                SEARCH_SPACE,
                self.settings.search_trials - 1,
                random_state=self.settings.seed,
            )
        )

    def fit_linear(self, part: np.ndarray, ridge: float) -> LinearPart:
        """Fit a logistic regression to a sample of some rows."""
        rows, weights = downsample(part, self.labels, self.settings.seed)
        return fit_linear(ridge, self.matrix[rows], self.labels[rows], weights)

    def constant_margins(self, part: np.ndarray) -> np.ndarray:
        """Return the log-odds of churn in some rows, for each of them."""
        share = float(self.labels[part].mean())
        return np.full(len(part), np.log(share / (1 - share)))

    def rows(self, part: np.ndarray) -> np.ndarray:
        """Return the matrix of some rows, as a view if they are contiguous."""
        return self.matrix[as_slice(part)]

    def data(
        self, part: np.ndarray, like: xgb.DMatrix | None = None
    ) -> xgb.QuantileDMatrix:
        """Return some rows with labels; ``like`` supplies histogram bins."""
        import xgboost as xgb

        return xgb.QuantileDMatrix(
            self.rows(part),
            label=self.labels[part],
            feature_names=self.names,
            nthread=self.fixed["nthread"],
            ref=like,
        )


class _FoldFits:
    """Fits candidates to the train rows of folds, and measures them on the others."""

    def __init__(self, trainer: _Trainer, split: Split) -> None:
        self.trainer, self.folds = trainer, split.folds
        self.labels = [trainer.labels[fold.validation] for fold in split.folds]
        self.data = []
        for fold in split.folds:
            training = trainer.data(fold.train)
            self.data.append((training, trainer.data(fold.validation, like=training)))
        linear_by_ridge = {
            ridge: [trainer.fit_linear(fold.train, ridge) for fold in split.folds]
            for ridge in RIDGES
        }
        margins_by_ridge = {
            ridge: [
                linear.margins(trainer.rows(fold.validation))
                for linear, fold in zip(linears, split.folds, strict=True)
            ]
            for ridge, linears in linear_by_ridge.items()
        }
        self.ridge = min(
            RIDGES,
            key=lambda ridge: np.mean(self._losses(margins_by_ridge[ridge])[1]),
        )
        self.linears = linear_by_ridge[self.ridge]
        self.margins = margins_by_ridge[self.ridge]

    def logistic(self) -> _Selected:
        """Return the measured logistic regression."""
        return self._measured(LOGISTIC, {}, 0, self.margins)

    def trees(self, kind: str, trial: Mapping[str, Any]) -> _Selected:
        """Fit trees to each fold and measure them after the best number of rounds."""
        import xgboost as xgb

        is_constrained = kind == CONSTRAINED
        parameters = self.trainer.parameters(trial, is_constrained)
        boosters, curves = [], []
        for number, (training, validation) in enumerate(self.data):
            for data, margins in zip(
                (training, validation), self._base_margins(kind, number), strict=True
            ):
                data.set_base_margin(margins)
            history: dict[str, Any] = {}
            boosters.append(
                xgb.train(
                    parameters,
                    training,
                    num_boost_round=MAX_BOOST_ROUNDS,
                    evals=[(validation, "validation")],
                    early_stopping_rounds=EARLY_STOPPING_ROUNDS,
                    evals_result=history,
                    verbose_eval=False,
                )
            )
            curves.append(history["validation"]["logloss"])
        shortest = min(map(len, curves))
        weights = [len(labels) for labels in self.labels]
        curve = np.average([c[:shortest] for c in curves], axis=0, weights=weights)
        rounds = int(curve.argmin()) + 1
        predicted = [
            booster.predict(data, output_margin=True, iteration_range=(0, rounds))
            for booster, (_, data) in zip(boosters, self.data, strict=True)
        ]
        return self._measured(kind, trial, rounds, predicted, is_constrained)

    def averaged(self, trees: _Selected) -> _Selected:
        """Return the measured average of the logistic regression and some trees."""
        margins = [
            (line + tree) / 2
            for line, tree in zip(self.margins, trees.margins, strict=True)
        ]
        return self._measured(
            AVERAGED, trees.trial, trees.rounds, margins, trees.is_constrained
        )

    def _base_margins(self, kind: str, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the margins to boost from, of the rows of both parts of a fold."""
        fold, trainer = self.folds[number], self.trainer
        if kind == BOOSTED:
            fitted = self.linears[number].margins(trainer.rows(fold.train))
            return fitted, self.margins[number]
        constant = trainer.constant_margins(fold.train)
        return constant, np.full(len(fold.validation), constant[0])

    def _measured(
        self,
        kind: str,
        trial: Mapping[str, Any],
        rounds: int,
        margins: Sequence[np.ndarray],
        is_constrained: bool = False,
    ) -> _Selected:
        probabilities, losses = self._losses(margins)
        calibration = calibrate(np.concatenate(margins), np.concatenate(self.labels))
        return _Selected(
            kind,
            trial,
            rounds,
            self.ridge,
            margins,
            calibration,
            probabilities,
            losses,
            is_constrained,
        )

    def _losses(self, margins: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the calibrated probabilities and log losses of all folds' rows."""
        probabilities = np.concatenate(cross_calibrate(margins, self.labels))
        return probabilities, log_losses(np.concatenate(self.labels), probabilities)


def _best(tried: Sequence[_Selected]) -> _Selected:
    """Return the candidate with the lowest loss, the first of equal ones."""
    return min(tried, key=_loss)


def _loss(candidate: _Selected) -> float:
    return candidate.loss


def _medians(matrix: np.ndarray, names: Sequence[str]) -> dict[str, float | None]:
    medians: dict[str, float | None] = {}
    for position, name in enumerate(names):
        present = matrix[:, position]
        present = present[~np.isnan(present)]
        medians[name] = float(np.median(present)) if len(present) else None
    return medians
