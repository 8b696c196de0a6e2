"""Statistics of columns as SQL."""

from penstock.data.expressions.sql_call import literal_sql
from penstock.data.expressions.symbols import call, column
from penstock.data.recipe.projection import Projection, computed
from penstock.data.recipe.sql.relation import Relation, projected
from penstock.data.recipe.statistics import Statistic
from penstock.data.schema import DataType

__all__ = ["statistic_sql", "values_sql"]


def statistic_sql(statistic: Statistic, relation: Relation) -> str:
    """An aggregate over the relation; timestamps as microseconds."""
    value = relation.column(statistic.column)
    kind = relation.schema[statistic.column].type
    fraction = literal_sql(float(statistic.argument), DataType.FLOAT)
    match statistic.kind:
        case "mean":
            return f"favg(CAST({value} AS DOUBLE))"
        case "quantile":
            return f"quantile_cont(CAST({value} AS DOUBLE), {fraction})"
        case "cut":
            found = f"quantile_disc({value}, {fraction})"
        case _:
            found = f"mode({value} ORDER BY {value})"
    return f"epoch_us({found})" if kind is DataType.TIMESTAMP else found


def values_sql(statistic: Statistic, relation: Relation) -> str:
    """A query for the most frequent values as texts, ties by value."""
    kind = relation.schema[statistic.column].type
    text = column(statistic.column) if kind is DataType.STRING else call("string", column(statistic.column))
    texts = projected(relation, Projection((computed("value", text.expression, relation.schema),)))
    return (
        f"SELECT c0 FROM {texts.sql} WHERE c0 IS NOT NULL GROUP BY c0 ORDER BY count(*) DESC, c0 "
        f"LIMIT {int(statistic.argument)}"
    )
