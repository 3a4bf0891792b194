"""Features are made row by row: what a row gives must not depend on its neighbours."""

from types import ModuleType

import pandas as pd
from esteira.line.schema import Schema


def test_a_row_gives_the_same_features_alone_as_among_others(
    package: ModuleType, schema: Schema, table: pd.DataFrame
) -> None:
    inputs = table[schema.inputs]
    together = package.features.engineer(inputs)
    alone = pd.concat([package.features.engineer(inputs.iloc[[i]]) for i in range(5)])
    pd.testing.assert_frame_equal(together.head(5), alone)


def test_the_table_given_is_left_as_it_was(
    package: ModuleType, schema: Schema, table: pd.DataFrame
) -> None:
    before = table.copy(deep=True)
    package.features.engineer(table[schema.inputs])
    pd.testing.assert_frame_equal(table, before)
