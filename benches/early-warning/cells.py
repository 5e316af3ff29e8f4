"""Cells under the same current, solved by PyBaMM: what `packs.py` puts packs together from.

A pack's cells are in series and share one current, so cells are solved once for each of a few records of usage, and packs are drawn from them.
The cell is a unit of LG M50 (Chen et al. 2020, 5 Ah each) in parallel: ten are 50 Ah, as in small cars; one alone is that of a light vehicle. The
model is the single particle model with diffusion in the particles, a lumped thermal model, and a resistance that depends on temperature and stands
for all that the model leaves out. Self-discharge, balancing and internal shorts are conductances across the unit, so that their currents follow its
voltage. Currents of driving, charging and balancing are in proportion to the capacity.

All kinks of the current are evaluation times: the solver restarts at each and steps over none.
"""
import numpy as np

STEP_SECS = 30
DAY = 86400 // STEP_SECS
CELL_AH = 5.0
BLEED_OHM_AH = 62.0 * 50  # what a resistor for balancing has, times the capacity of the unit
BLEED_SECS = 7200
EMPTY_VOLTS = 2.5
KELVIN = 273.15

OFF, DRIVING, CHARGING, CHARGED = 0, 1, 2, 3


class Usage:
    """What a vehicle does for some days: pack current (positive discharges), state and state of charge, every 30 s."""

    def __init__(self, days, parallel, rng):
        self.days, self.parallel = days, parallel
        self.capacity_ah = CELL_AH * parallel
        self.current = np.zeros(days * DAY + 1)
        self.state = np.full(days * DAY + 1, OFF, dtype=np.uint8)
        self.kinks = {0, days * DAY}
        self.fullness = []  # of each charge: the step at which balancing may begin, or None where it was not full
        self.soc = [0.85]
        self.rng = rng
        self.charger_amps = rng.choice([9.2, 9.2, 13.5]) / 50 * self.capacity_ah
        self.daily_drives = rng.choice([2, 2, 3])
        self.ambient_celsius = rng.uniform(12, 28)
        for day in range(days):
            self._day(day * DAY)
        self._rest(days * DAY + 1)
        self.soc = np.array(self.soc[: days * DAY + 1])

    def _put(self, amps, state):
        """One more step."""
        at = len(self.soc)
        if at >= len(self.current):
            return False
        self.current[at], self.state[at] = amps, state
        # The solver interpolates, so charge is that of trapezia.
        self.soc.append(self.soc[-1] - (amps + self.current[at - 1]) / 2 * STEP_SECS / 3600 / self.capacity_ah)
        return True

    def _kink(self):
        self.kinks.add(min(len(self.soc) - 1, self.days * DAY))

    def _rest(self, until):
        self._kink()
        first = True
        while len(self.soc) < until and self._put(0.0, OFF):
            if first:
                self._kink()
            first = False
        self._kink()

    def _day(self, midnight):
        rng = self.rng
        if rng.random() < 0.1:
            return  # not used at all
        for hour in sorted(rng.choice([7.2, 9.5, 12.2, 17.6], self.daily_drives, replace=False)):
            self._rest(midnight + int((hour + rng.uniform(0, 1)) * 3600 / STEP_SECS))
            self._drive(int(rng.uniform(15, 45) * 60 / STEP_SECS))
            if self.soc[-1] < 0.5 and rng.random() < 0.15:
                self._charge(0.8, 0.8 * self.capacity_ah)
        self._rest(max(len(self.soc) + 20, midnight + int(rng.uniform(18.8, 21.5) * 3600 / STEP_SECS)))
        if self.soc[-1] < 0.62 or rng.random() < 0.5:
            self._charge(rng.choice([0.97, 0.97, 0.97, rng.uniform(0.82, 0.92)]), self.charger_amps)

    def _drive(self, steps):
        end = len(self.soc) + steps
        while len(self.soc) < end and self.soc[-1] > 0.38:
            kind = self.rng.choice(["cruise", "hard", "brake", "wait"], p=[0.45, 0.15, 0.2, 0.2])
            if kind == "brake" and self.soc[-1] > 0.88:
                kind = "wait"  # a full battery takes nothing back
            amps = {"cruise": self.rng.uniform(10, 35), "hard": self.rng.uniform(50, 110), "brake": -self.rng.uniform(8, 40), "wait": 1.5}[kind]
            for one in range(self.rng.integers(1, 5)):
                self._put(amps / 50 * self.capacity_ah, DRIVING)
                if one == 0:
                    self._kink()
            self._kink()

    def _charge(self, target, amps):
        """Constant current, and from 90 % on a taper in stages of ten minutes, as constant voltage makes it."""
        stage, tapering = 0, None
        self._kink()
        while self.soc[-1] < target:
            if self.soc[-1] > 0.9:
                tapering = tapering or len(self.soc)
                if stage % 20 == 0:
                    self._kink()
                    now = min(amps, self.capacity_ah * max(0.05, 0.2 * (1 - self.soc[-1]) / 0.1))
                stage += 1
            else:
                now = amps
            if not self._put(-now, CHARGING):
                break
            if stage % 20 == 1 or self.current[len(self.soc) - 2] != -now:
                self._kink()
        self._kink()
        for one in range(self.rng.integers(20, 120)):
            self._put(0.0, CHARGED)
            if one == 0:
                self._kink()
        self.fullness.append(tapering if target > 0.93 else None)


def draw_cells(number, usage, settled, rng):
    """Parameters of healthy cells: a pack's age is common to them, and each deviates from it.

    In a settled pack balancing has little left to do; in another one the fullest cells are bled at each full charge.
    """
    unbalanced = rng.uniform(-0.0035, 0.0035, number) if settled else 0.004 * rng.standard_normal(number)
    capacity = rng.uniform(0.86, 1.0) * (1 + 0.012 * rng.standard_normal(number))
    first = usage.soc[0]
    return {
        "capacity": capacity,
        # Balanced at the top: what is missing to full is the same charge for all, but for a spread.
        "soc": 1 - (1 - first) / capacity * np.mean(capacity) + unbalanced,
        "lost": np.maximum(0, rng.uniform(0.0, 0.06) + 0.004 * rng.standard_normal(number)),
        "ohm": rng.uniform(0.014, 0.024) * (1 + 0.07 * rng.standard_normal(number)),
        # 1.5 % a month, from half to twice that.
        "leak": 0.015 / 30 / 24 * usage.capacity_ah / 3.8 * np.exp(0.25 * rng.standard_normal(number)),
        "short": np.zeros(number),
        "onset": np.full(number, 1e9),
        "joint": np.zeros(number),
        "warmer": 0.8 * rng.standard_normal(number),
        "cooling": 20 * (1 + 0.1 * rng.standard_normal(number)),
    }


def balance(cells, usage, reference):
    """Siemens of bleeding per charge and cell, as a BMS that compares voltages when nearly full would decide.

    It bleeds whoever is 8 mV above the lowest of the first `reference` cells. What it believes is estimated here, with 11 mV for one per cent;
    what comes of it is solved.
    """
    number = len(cells["soc"])
    above_ah = (cells["soc"] - (1 - (1 - usage.soc[0]) / cells["capacity"] * np.mean(cells["capacity"][:reference]))) * usage.capacity_ah
    bleed, before = np.zeros((len(usage.fullness), number)), 0
    for charge, begin in enumerate(usage.fullness):
        if begin is None:
            continue
        seconds = (begin - before) * STEP_SECS
        shorted = np.maximum(0, np.minimum(seconds, begin * STEP_SECS - cells["onset"]))
        above_ah -= 3.8 / 3600 * (cells["leak"] * seconds + cells["short"] * shorted)
        volts = 1.1 * above_ah / usage.capacity_ah + 0.06 * CELL_AH * cells["ohm"]
        wanted_ah = np.maximum(0, volts - volts[:reference].min() - 0.008) / 1.1 * usage.capacity_ah
        bled_ah = np.minimum(wanted_ah, 4.1 * usage.capacity_ah / BLEED_OHM_AH * BLEED_SECS / 3600)
        bleed[charge] = bled_ah * 3600 / BLEED_SECS / 4.1
        above_ah -= bled_ah
        before = begin
    return bleed


def ramp(pybamm, begin):
    """From 0 to 1 within a minute."""
    return pybamm.minimum(pybamm.maximum((pybamm.t - begin) / 60, 0), 1)


def solve(usage, cells, bleed, rng):
    """Voltages (V) and temperatures (degrees Celsius) of the units, one row each, and until when each was not empty."""
    import pybamm

    pybamm.set_logging_level("ERROR")
    given, times = pybamm.InputParameter, np.arange(usage.days * DAY + 1) * float(STEP_SECS)
    kinks = times[sorted(usage.kinks)]
    amps = pybamm.Interpolant(kinks, np.interp(kinks, times, usage.current) / usage.parallel, pybamm.t, interpolator="linear")
    loose = pybamm.Interpolant(kinks, rng.uniform(0, 1, len(kinks)), pybamm.t, interpolator="linear")
    begun = ramp(pybamm, given("onset"))
    bled = [(charge, begin * STEP_SECS) for charge, begin in enumerate(usage.fullness) if begin is not None]

    def circuit(variables):
        siemens = given("leak") + given("short") * begun
        for charge, begin in bled:
            siemens += given(f"bleed{charge}") * (ramp(pybamm, begin) - ramp(pybamm, begin + BLEED_SECS))
        return variables["Current [A]"] * given("capacity") - (amps + variables["Voltage [V]"] * siemens / usage.parallel)

    model = pybamm.lithium_ion.SPM({"operating mode": circuit, "thermal": "lumped", "contact resistance": "true"})
    temperature = next(one for one in model.rhs if one.name.startswith("Volume-averaged cell temperature"))
    short_watts = model.variables["Voltage [V]"] ** 2 * given("short") * begun / usage.parallel
    heat_capacity = model.variables["Volume-averaged effective heat capacity [J.K-1.m-3]"] * model.variables["Cell thermal volume [m3]"]
    model.rhs[temperature] += short_watts / heat_capacity
    model.events = [pybamm.Event("empty", model.variables["Voltage [V]"] - EMPTY_VOLTS)]
    published = pybamm.ParameterValues("Chen2020")
    empty_n, full_n, full_p, empty_p = (float(one) for one in pybamm.lithium_ion.get_min_max_stoichiometries(published))
    most = {side: published[f"Maximum concentration in {side} electrode [mol.m-3]"] for side in ("negative", "positive")}
    values = published.copy()
    ambient = lambda *_: given("ambient") + 3 * pybamm.sin(2 * np.pi * (pybamm.t / 86400 - 0.4))
    resistance = lambda at: (given("ohm") + given("joint") * begun * loose) * pybamm.exp(2000 * (1 / at - 1 / 298.15))
    values.update(
        {
            "Contact resistance [Ohm]": resistance,
            "Total heat transfer coefficient [W.m-2.K-1]": given("cooling"),
            "Ambient temperature [K]": ambient,
            "Initial temperature [K]": usage.ambient_celsius + KELVIN,
            "Initial concentration in negative electrode [mol.m-3]": given("negative"),
            "Initial concentration in positive electrode [mol.m-3]": given("positive"),
        },
        check_already_exists=False,
    )
    inputs = []
    for at in range(len(cells["soc"])):
        one = {name: float(cells[name][at]) for name in ("capacity", "ohm", "leak", "short", "onset", "joint", "cooling")}
        soc = cells["soc"][at]
        one["ambient"] = usage.ambient_celsius + KELVIN + float(cells["warmer"][at])
        # Lost lithium shifts the electrodes against each other.
        one["negative"] = most["negative"] * (empty_n + (soc * (full_n - empty_n)) * (1 - cells["lost"][at]))
        one["positive"] = most["positive"] * (full_p + (1 - soc) * (empty_p - full_p))
        one.update({f"bleed{charge}": float(bleed[charge][at]) for charge, _ in bled})
        inputs.append(one)
    names = ["Voltage [V]", "Volume-averaged cell temperature [K]"]
    solver = pybamm.IDAKLUSolver(rtol=1e-5, atol=1e-7, output_variables=names, options={"suppress_algebraic_error": True})
    simulation = pybamm.Simulation(model, parameter_values=values, solver=solver, var_pts={"r_n": 12, "r_p": 12, "x_n": 3, "x_s": 3, "x_p": 3})
    volts, celsius, ends = [], [], []
    begins = [b for _, begin in bled for b in (begin, begin + 60, begin + BLEED_SECS, begin + BLEED_SECS + 60)]
    for one in inputs:
        onset = [one["onset"], one["onset"] + 60] if one["onset"] < times[-1] - 60 else []
        evaluated = np.unique(np.concatenate([kinks, [b for b in begins + onset if b < times[-1]]]))
        solution = simulation.solve(t_eval=evaluated, t_interp=times, inputs=one)
        volts.append(np.interp(times, solution.t, solution[names[0]].data))
        celsius.append(np.interp(times, solution.t, solution[names[1]].data) - KELVIN)
        ends.append(solution.t[-1])
    return np.array(volts), np.array(celsius), np.array(ends)
