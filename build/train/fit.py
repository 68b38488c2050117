"""Train a recipe: `python -m build train --data D --recipe R`, or

    run = train(find("podium"), prepared, seed=0)
    run = train(run.recipe, prepared, seed=0, resume=run)     # after Ctrl-C: goes on bit-exactly from the last whole epoch

Everything random comes from the seed and the numbers of epoch and batch, and every variable is in the checkpoint: four epochs in one
go leave the same weights as two, a kill, and two more (on a CPU; under TensorFlow with recipe.deterministic on a GPU, too).
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path

import keras

from build import standing
from build.console import console
from build.errors import UserError
from build.gpu_troubles import troubles_told
from build.recipe import IMAGE_SIDE, Recipe
from build.runs import Run, RunInterrupted
from build.standing import surpasses
from build.train import distillation, hardware, pretrained, record, schedule, settings, unseen
from build.train.budget import Kind, Timetable
from build.train.hosts import Hosts, is_loss
from build.train.learner import Learner
from build.train.progress import StopSignal, Watch, summary
from build.train.streams import TRAIN, TRIAL
from build.train.validation import Validation
from submission import contract

TRIAL_STEPS = 6
"""Steps of the trial that a time budget asks of each kind of epoch."""
MEMBER_STRIDE = 1_000_003
"""Between the seeds of an ensemble's members: larger than any seed that people choose, so that no two trainings share one."""


def train(
    recipe: Recipe,
    prepared,
    *,
    seed: int,
    resume: Run | None = None,
    epochs: int | None = None,
    root: Path = Path("runs"),
    hosts: Hosts | None = None,
    watch: Callable[[Run, list[dict]], bool] | None = None,
    latest: bool = True,
) -> Run:
    """Train `recipe` on `prepared` (build/data/prepare.py) and return the run folder with the best epoch's weights.

    Args:
        recipe: all settings; with `resume`, the run's own.
        prepared: cells and their split.
        seed: of everything random, >= 0.
        resume: a run to go on with.
        epochs: overrides recipe.epochs.
        root: where run folders are made.
        hosts: the processes that train it together (build/train/hosts.py), each calling this alike; None for this one alone.
        watch: told the run and its history after every epoch; True ends the training as "pruned". For one process only.
        latest: whether the run is what "latest" names, from its beginning or continuation on and, whatever was begun beside it, at
            its end: what is packaged next is what was trained last.

    Raises UserError for settings that cannot work, and RunInterrupted (a KeyboardInterrupt) after Ctrl-C, with the run left resumable.

    """
    recipe = settings.with_epochs(recipe, epochs, resume)
    settings.check(recipe, seed)
    if recipe.ensemble:
        raise UserError(
            f"The recipe {recipe.name} is an ensemble of {', '.join(recipe.ensemble)}, and here one network is trained at a time; "
            "name one of those."
        )
    record.check_split(prepared.split)
    hosts = hosts or Hosts()
    same = (recipe, seed, prepared.cells.sha256, resume and resume.id)
    hosts.check_same("recipes, data, seeds or runs to go on with", repr(same))
    machine = hardware.find()
    teachers = distillation.find(recipe, prepared, root)
    unseen.check_beginning(recipe.weights, prepared.split)
    known = record.decision_of(resume, recipe, prepared, seed, teachers) if resume else None
    here = hardware.decide(recipe, machine)
    decision = known or here
    if told := hardware.other_machine(decision, here):
        console.print(told, style="yellow")
    hardware.prepare(machine, decision, deterministic=recipe.deterministic)
    console.print(hardware.describe(recipe, machine, decision), markup=False)
    if teachers:
        console.print(distillation.describe(recipe), markup=False)
    with troubles_told(), contextlib.ExitStack() as held:
        stop = held.enter_context(StopSignal("step" if hosts.count == 1 else "epoch"))
        if resume and hosts.chief:
            held.enter_context(resume.locked())
        training = Training(recipe, prepared, seed, decision, stop, resume, teachers, hosts)
        training.watch = watch
        run = resume or training.begin(root, machine)
        if hosts.chief and not resume:
            held.enter_context(run.locked())
        if hosts.chief and latest:
            run.become_latest()
            held.callback(run.become_latest)
        return training.run_all()


class Training:
    """One training's epochs. `state`, the timetable's costs and the learner's variables are all that must survive."""

    def __init__(self, recipe: Recipe, prepared, seed: int, decision, stop, run: Run | None, teachers, hosts: Hosts):
        self.recipe, self.prepared, self.seed, self.decision, self.stop = recipe, prepared, seed, decision, stop
        self.teachers, self.run, self.hosts, self.watch, self.pruned = teachers, run, hosts, None, False
        self.began, self.measured = time.perf_counter(), 0.0
        resumes = run is not None and run.checkpoint_path.exists()
        self.learner = Learner(
            recipe,
            decision,
            prepared,
            seed=seed + MEMBER_STRIDE * recipe.member,
            load_weights=not resumes,
            teachers=[teacher.path for teacher in teachers],
            hosts=hosts,
        )
        self.validation = Validation(
            prepared, recipe, seed=seed, workers=decision.workers, hosts=hosts, replicas=decision.replicas
        )
        self.timetable = Timetable(
            recipe,
            pretrained=decision.weights != "none",
            image_side=IMAGE_SIDE,
            images=self.learner.images,
            knows=self.learner.knows,
        )
        self.state = record.State(total=recipe.epochs)
        if resumes:
            self.state, phase = record.recall(run, self.timetable)
            done, total = self.state.done, self.state.total
            hosts.check_same(f"checkpoints of run {run.id}", str(done))
            hosts.run_id = run.id
            goes_on = done < total and self.timetable.kind(done, total)[0] == phase
            going_on = self.timetable.phase(done, total, self.state.history) if goes_on else None
            self.learner.resume(run.checkpoint_path, going_on)
            console.print(f"Going on with run {run.id} after epoch {done} of {total}.", markup=False)

    def begin(self, root: Path, machine: hardware.Machine) -> Run:
        """Make the run folder and say what will be trained."""
        learner = self.learner
        if not self.hosts.chief:
            self.run = Run(root / self.hosts.chiefs_text(""))
            return self.run
        decision, spec = self.decision, learner.spec
        self.run = record.create(
            root,
            self.recipe,
            self.prepared,
            self.seed,
            device=machine.device,
            decided=dataclasses.asdict(decision),
            weights_sha256=pretrained.hash_of(decision.weights, self.recipe.network, spec.get("size")),
            parameters=int(learner.network.count_params()),
            spec=spec,
            counts=learner.plan.facts(),
            teachers=[teacher.facts for teacher in self.teachers],
            hosts=self.hosts.count,
        )
        self.hosts.chiefs_text(self.run.id)
        console.print(learner.plan.table(contract.CLASSES))
        console.print(
            f"Run {self.run.folder}: {learner.steps_per_epoch} steps of {learner.batch} images an epoch, "
            f"at most {self.state.total} epochs.",
            markup=False,
        )
        return self.run

    def run_all(self) -> Run:
        """Train until the last epoch, early stopping or Ctrl-C; the last raises RunInterrupted."""
        # One that was killed between its last checkpoint and its end is over, and still to be finished.
        ended = self.hosts.sum([self.hosts.chief and self.run.facts.get("status") in standing.ENDED])[0] > 0
        if ended and self._is_over():
            console.print(f"Run {self.run.id} is finished: nothing to go on with.", markup=False)
            return self.run
        if self.hosts.chief:
            self.run.update(status=standing.RUNNING)
        try:
            if self.recipe.minutes and not self.state.done and not self._stop_wished():
                self._try_kinds()
            while not self._stop_wished() and not self._is_over() and not self.pruned:
                self._epoch(self.state.done)
        except KeyboardInterrupt:  # the second Ctrl-C, which waits for nothing
            if self.hosts.count > 1:
                raise  # the other hosts are not told, and this one does not wait for them
            self.run.update(status=standing.INTERRUPTED)
            raise RunInterrupted(self.run) from None
        except Exception as error:  # passed on: a run that broke off must not go on as "running"
            self._finish(standing.INTERRUPTED if is_loss(error) else standing.FAILED)
            raise
        if not self._is_over() and not self.pruned:
            self._finish(standing.INTERRUPTED)
            raise RunInterrupted(self.run)
        whole, early = self.state.done >= self.state.total, self._patience_is_over()
        self._finish(standing.FINISHED if whole else standing.EARLY if early else standing.PRUNED)
        if self._stop_wished():  # after the last step; what the caller would begin next is not to begin
            raise RunInterrupted(self.run, over=not self.pruned)
        return self.run

    def _finish(self, status: str) -> None:
        if self.hosts.chief:
            try:
                record.finish(self.run, self.state, status, minutes=self.seconds / 60)
            except KeyboardInterrupt:  # once more, while the curves are drawn
                raise RunInterrupted(self.run, over=status in standing.ENDED) from None

    def _stop_wished(self) -> bool:
        """Whether anybody wants to stop, on any host."""
        return self.hosts.sum([self.stop.wished])[0] > 0

    def _is_over(self) -> bool:
        return self.state.done >= self.state.total or self._patience_is_over()

    def _patience_is_over(self) -> bool:
        """Whether the last kind of epoch has gone on for too long without a better one.

        A head that learns nothing more, or a small resolution, is no reason to leave out what follows.
        """
        state = self.state
        if not self.recipe.patience or not state.best:
            return False
        return state.done - max(state.best["epoch"], self.timetable.last_begins(state.total)) >= self.recipe.patience

    def _epoch(self, epoch: int) -> None:
        """Train one epoch, validate, save. If it is stopped midway it leaves no trace: it is trained anew after a resume."""
        state, learner, began = self.state, self.learner, time.perf_counter()
        kind = phase, side = self.timetable.kind(epoch, state.total)
        if phase != learner.phase:
            learner.enter(self.timetable.phase(epoch, state.total, state.history))
        known = learner.knows(kind)
        logs, watch = self._steps(TRAIN, epoch, kind, f"epoch {epoch + 1}/{state.total}, {side} px")
        if watch.cut:
            return
        judged = learner.judge.test_function is not None
        arrays, measured = self.validation.measure(learner.model, learner.optimizer, learner.judge)
        losses = {
            "": logs["loss"],
            "validation ": measured["loss"],
            "perturbed validation ": measured["perturbed_loss"],
        }
        for of, loss in losses.items():
            if not math.isfinite(loss):
                raise UserError(
                    f"The training diverged in epoch {epoch + 1} ({of}loss {loss}); lower the recipe's learning rate."
                )
        rate = float(keras.ops.convert_to_numpy(learner.optimizer.learning_rate))
        row = record.row(epoch, kind, logs, measured, learning_rate=rate, speed=1 / watch.seconds_an_image)
        top = max([*state.history, row], key=itemgetter("score"))
        best = state.best is None or surpasses(row, state.best, top, len(self.prepared.split.validation))
        if best:
            meta = {"spec": learner.spec, "recipe": self.recipe.name, "views": self.recipe.views}
            if self.hosts.chief:
                self.run.save_weights(arrays, meta)
            state.best = row
        now = time.perf_counter()
        row["seconds"] = now - began
        # From where the epoch before was measured: what came after that, its checkpoint above all, belongs to an epoch's cost too.
        since, self.measured = self.measured or began, now
        self.timetable.learn(
            kind,
            watch.seconds_an_image,
            seconds=now - since,
            start=None if known else watch.start_seconds,
            judged=judged,
        )
        state.done = epoch + 1
        state.history.append(row)
        if self.recipe.minutes:
            self._decide()
        saved = dataclasses.replace(state, seconds=self.seconds)
        if self.hosts.chief:
            record.save(self.run, saved, self.timetable, learner.variables, phase=phase)
        self.hosts.run_id = self.run.id
        console.print(summary(row, state.total, best, self.timetable.remaining(state.done, state.total)))
        self.pruned = self.watch is not None and self.watch(self.run, state.history)

    def _steps(self, stream: int, epoch: int, kind: Kind, title: str, limit: int | None = None) -> tuple[dict, Watch]:
        return self.learner.steps(
            stream,
            epoch=epoch,
            side=kind[1],
            strength=schedule.stage_of(epoch, self.state.total, self.recipe.curriculum),
            title=title,
            after=lambda rate: self.timetable.remaining(
                epoch + 1, self.state.total, self.timetable.costs.at(kind, rate)
            ),
            # One host alone cannot leave an epoch: the others would wait for it.
            stop=self.stop if self.hosts.count == 1 else StopSignal(),
            limit=limit,
        )

    # --- time -------------------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Time spent on this run so far, all sessions together."""
        return self.state.seconds + time.perf_counter() - self.began

    def _try_kinds(self) -> None:
        """Measure a few steps of each kind of epoch, then put everything back as it was.

        Of a single kind the first epoch says enough, but not under XLA: there it would take compiling validation for what epochs cost.
        """
        total, learner, xla = self.state.total, self.learner, self.decision.xla
        kinds = self.timetable.kinds(total)
        if len(kinds) < 2 and not xla:
            return
        rates, start = {}, 0.0
        # The first phase last: what was traced for it is then at hand.
        for name in reversed(dict.fromkeys(name for name, _ in kinds)):
            first = next(epoch for epoch in range(total) if self.timetable.kind(epoch, total)[0] == name)
            with learner.trial(self.timetable.phase(first, total)):
                for kind in (kind for kind in kinds if kind[0] == name):
                    if self._stop_wished():  # each has a graph of its own, which takes a minute
                        return
                    # Where several steps are one call, the first call compiles and says nothing of the speed.
                    limit = TRIAL_STEPS if learner.together == 1 else 3 * learner.together
                    _, watch = self._steps(TRIAL, 0, kind, f"trying {kind[1]} px", limit=limit)
                    rates[kind], start = watch.seconds_an_image, max(start, watch.start_seconds)
                # Each phase compiles its own. The first one's is at hand from here on; what it took, the others' start will take too.
                if xla and name == kinds[0][0] and not self._stop_wished():
                    began = time.perf_counter()
                    self.validation.trace(learner.judge)
                    start += time.perf_counter() - began
        self.timetable.costs = dataclasses.replace(self.timetable.costs, rates=rates, start=start)

    def _decide(self) -> None:
        """Settle the number of epochs after the first one, and again after each where the machine's speed changed."""
        state, left = self.state, self.recipe.minutes * 60 - self.seconds
        total = self.timetable.decide(state.done, state.total, left, decided=state.decided)
        total = self.hosts.chiefs(total)  # each has a clock of its own
        if state.decided and total == state.total:
            return
        console.print(
            f"Within {self.recipe.minutes:g} minutes this machine trains {total} of the recipe's {self.recipe.epochs} epochs."
        )
        state.total, state.decided = total, True
        # Of the epoch that comes next: with more of them the head may have had one more than it was given.
        self.learner.lengthen(self.timetable.phase(min(state.done, total - 1), total, state.history))
