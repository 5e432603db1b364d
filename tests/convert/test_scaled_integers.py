"Floats as integers: what an integer can't represent is refused"
import numpy as np, pytest
from conftest import fails
from tsdisk.convert.scaled_integers import as_counts

@pytest.mark.parametrize('missing', [-2**15, 0, 7, 2**15-1])
def test_no_value_is_stored_as_missing(missing):
    other = 5.
    assert as_counts(np.array([[other,np.nan]]), 1., missing=missing).tolist() == [[5,missing]]
    with fails(ValueError, 'number for missing ones'): as_counts(np.array([[other,missing]]), 1., missing=missing)
